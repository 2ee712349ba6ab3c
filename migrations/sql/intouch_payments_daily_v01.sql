-- Payments a day over the last seven days, today included; days are Abidjan's.
create or replace view public.intouch_payments_daily with (security_invoker = true) as
select
    (created_at at time zone 'Africa/Abidjan')::date as date,
    count(*) as total_payments,
    sum(amount) as total_amount,
    count(*) filter (where status = 'success') as successful_payments,
    count(*) filter (where status = 'failed') as failed_payments
from public.payment_logs
where (select montoit.sees_everything())
  and provider = 'intouch'
  and created_at >= (date_trunc('day', now() at time zone 'Africa/Abidjan') - interval '6 days')
      at time zone 'Africa/Abidjan'
group by 1
order by 1 desc;
