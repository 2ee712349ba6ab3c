-- Distributes the three logs over the workers of a Citus cluster (tried on Citus 13.2 and PostgreSQL 15).
-- On the coordinator, in a maintenance window, as the owner of the tables, after `alembic upgrade head`:
--   psql --set ON_ERROR_STOP=1 --single-transaction --file docs/scaling/citus.sql "$DATABASE_URL"
--
-- It is for the service role and for monitoring. What is lost:
-- - Signed-in users and administrators no longer read the logs over the API: a policy with a sub-select cannot be distributed, and
--   request.jwt.claims, by which policies know who asks, do not travel to the workers. The views have no rows for them.
-- - The id alone is no longer unique by a constraint: every key contains the column by which rows are distributed. That is
--   partner_transaction_id, which InTouch's callback names; it stays unique.
-- - `service_role` may log in: a coordinator opens its connections to the workers as the role that asks. Let no network but the
--   coordinator's reach the workers with it (pg_hba.conf).
-- - `montoit-db purge`, which locks rows, and Citus locks none across shards: `delete from … where created_at < …` by hand.
-- - `alembic downgrade` below the logs' revision: call undistribute_table for each log first.
-- Supabase has no Citus, so this is for a PostgreSQL of your own. Afterwards the rows from before still lie on the coordinator, unseen:
-- select truncate_local_data_after_distributing_table('public.payment_logs'), and so on, frees the room.

select montoit.record_objects('note'); -- so that `montoit-db check` takes what follows for meant

alter role service_role login;

drop policy "users read their own" on public.payment_logs;
drop policy "users read their own" on public.sms_logs;
drop policy "users read their own" on public.whatsapp_logs;
revoke select on table public.payment_logs, public.sms_logs, public.whatsapp_logs from authenticated;

alter table public.payment_logs
    drop constraint payment_logs_pkey, add constraint payment_logs_pkey primary key (id, partner_transaction_id);
alter table public.sms_logs
    drop constraint sms_logs_pkey, add constraint sms_logs_pkey primary key (id, partner_transaction_id);
alter table public.whatsapp_logs
    drop constraint whatsapp_logs_pkey, add constraint whatsapp_logs_pkey primary key (id, partner_transaction_id);

-- Citus does not send a query for each day to the workers: this one counts by day there, and adds up here.
create or replace function montoit.intouch_daily(log text, days integer)
returns table (date date, total bigint, succeeded bigint, failed bigint, cancelled bigint, amount bigint)
language plpgsql
stable
set search_path = ''
as $$
declare
    today timestamp := date_trunc('day', now() at time zone 'Africa/Abidjan');
    successes text[] := case log
        when 'payment_logs' then '{success}'
        when 'sms_logs' then '{sent, delivered}'
        when 'whatsapp_logs' then '{sent, delivered, read}'
    end;
begin
    return query execute format(
        $query$
        select
            day::date, coalesce(log.total, 0), coalesce(log.succeeded, 0), coalesce(log.failed, 0),
            coalesce(log.cancelled, 0), case when $5 then coalesce(log.amount, 0) end
        from generate_series($1, $2, interval '1 day') as day
        left join (
            select
                (created_at at time zone 'Africa/Abidjan')::date as date, count(*) as total,
                count(*) filter (where status = any ($3)) as succeeded,
                count(*) filter (where status = 'failed') as failed,
                count(*) filter (where status = 'cancelled') as cancelled,
                %s as amount
            from public.%I
            where provider = 'intouch' and created_at >= $4 and created_at < $4 + ($2 - $1) + interval '1 day'
              and created_at <= now()
            group by 1
        ) as log on log.date = day::date
        order by day desc
        $query$,
        case log when 'payment_logs' then 'sum(amount)' else 'null::bigint' end,
        log
    ) using
        today - (days - 1) * interval '1 day', today, successes,
        (today - (days - 1) * interval '1 day') at time zone 'Africa/Abidjan', log = 'payment_logs';
end;
$$;

-- touch_updated_at sets one column of its own row, and so does the same on a shard.
set local citus.enable_unsafe_triggers = on;
select create_distributed_table('public.payment_logs', 'partner_transaction_id');
select create_distributed_table('public.sms_logs', 'partner_transaction_id', colocate_with => 'public.payment_logs');
select create_distributed_table('public.whatsapp_logs', 'partner_transaction_id', colocate_with => 'public.payment_logs');

select montoit.record_objects('upgrade');
