-- Estimated costs over the last 30 days, in FCFA; no rows for callers who may not see the prices. A function, so that the
-- question who asks is no part of the counting query, which several workers can then share.
create or replace function montoit.estimated_costs()
returns table (service text, transactions bigint, cost_fcfa numeric, type text)
language plpgsql
stable
set search_path = ''
as $$
declare
    commission numeric := (select price.percent from public.intouch_prices as price where price.service = 'payment');
    sms_price numeric := (select price.fcfa from public.intouch_prices as price where price.service = 'sms');
begin
    if commission is null then
        return;
    end if;
    return query
    select 'Paiements', count(*), coalesce(sum(amount), 0) * commission / 100, 'Commission'
    from public.payment_logs
    where provider = 'intouch' and status = 'success' and created_at between now() - interval '30 days' and now();
    return query
    select 'SMS', count(*), count(*) * sms_price, 'Forfait'
    from public.sms_logs
    where provider = 'intouch' and status in ('sent', 'delivered') and created_at between now() - interval '30 days' and now();
end;
$$;
