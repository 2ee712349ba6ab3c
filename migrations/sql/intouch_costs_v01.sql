-- Estimated costs over the last 30 days, in FCFA.
create or replace view public.intouch_costs with (security_invoker = true) as
select
    'Paiements' as service,
    count(log.id) as transactions,
    coalesce(sum(log.amount), 0) * price.percent / 100 as cost_fcfa,
    'Commission' as type
from public.intouch_prices as price
left join public.payment_logs as log
    on log.provider = 'intouch' and log.status = 'success' and log.created_at >= now() - interval '30 days'
where price.service = 'payment'
group by price.percent

union all

select 'SMS', count(log.id), (count(log.id) * price.fcfa)::numeric, 'Forfait'
from public.intouch_prices as price
left join public.sms_logs as log
    on log.provider = 'intouch' and log.status in ('sent', 'delivered')
    and log.created_at >= now() - interval '30 days'
where price.service = 'sms'
group by price.fcfa;
