-- Estimated costs over the last 30 days, in FCFA.
create or replace view public.intouch_costs with (security_invoker = true) as
select
    'Paiements' as service,
    log.transactions,
    log.amount * price.percent / 100 as cost_fcfa,
    'Commission' as type
from public.intouch_prices as price
cross join lateral (
    select count(*) as transactions, coalesce(sum(amount), 0) as amount
    from public.payment_logs
    where provider = 'intouch' and status = 'success' and created_at >= now() - interval '30 days'
) as log
where price.service = 'payment'

union all

select 'SMS', log.transactions, (log.transactions * price.fcfa)::numeric, 'Forfait'
from public.intouch_prices as price
cross join lateral (
    select count(*) as transactions
    from public.sms_logs
    where provider = 'intouch' and status in ('sent', 'delivered') and created_at >= now() - interval '30 days'
) as log
where price.service = 'sms';
