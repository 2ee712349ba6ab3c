-- A log day by day (Abidjan's time) over the last `days` days, today included, the newest first; a day without traffic has
-- zeros. A message that was delivered or read was also sent. A row that is dated in the future counts on no day. Runs as
-- the caller, who sees what the policies let through.
-- Reads a range of the index for each day, which costs less than computing a date from each row and grouping by it.
create or replace function montoit.intouch_daily(log text, days integer)
returns table (date date, total bigint, succeeded bigint, failed bigint, cancelled bigint, amount bigint)
language plpgsql
stable
set search_path = ''
as $$
declare
    today timestamp := date_trunc('day', now() at time zone 'Africa/Abidjan');
    -- Not `in (…)`: PostgreSQL takes such a list apart for each row anew.
    is_success text := case log
        when 'payment_logs' then 'status = ''success'''
        when 'sms_logs' then 'status = ''sent'' or status = ''delivered'''
        when 'whatsapp_logs' then 'status = ''sent'' or status = ''delivered'' or status = ''read'''
        else 'false'
    end;
begin
    return query execute format(
        $query$
        select day::date, log.*
        from generate_series($1, $2, interval '1 day') as day
        cross join lateral (
            select
                count(*),
                count(*) filter (where %s),
                count(*) filter (where status = 'failed'),
                count(*) filter (where status = 'cancelled'),
                %s
            from public.%I
            where provider = 'intouch'
              and created_at >= day at time zone 'Africa/Abidjan'
              and created_at < (day + interval '1 day') at time zone 'Africa/Abidjan'
              and created_at <= now()
        ) as log
        order by day desc
        $query$,
        is_success,
        case log when 'payment_logs' then 'coalesce(sum(amount), 0)' else 'null::bigint' end,
        log
    ) using today - (days - 1) * interval '1 day', today;
end;
$$;
