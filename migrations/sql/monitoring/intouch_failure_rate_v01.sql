-- Share of payments that failed over the last 24 hours, in percent; null if there was no payment.
create or replace view public.intouch_failure_rate with (security_invoker = true) as
select
    count(*) as total_payments,
    count(*) filter (where status = 'failed') as failed_payments,
    round(count(*) filter (where status = 'failed') * 100.0 / nullif(count(*), 0), 2) as failure_rate
from public.payment_logs
where provider = 'intouch' and created_at between now() - interval '24 hours' and now()
having (select montoit.sees_everything());
