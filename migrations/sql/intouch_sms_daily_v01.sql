-- SMS a day over the last seven days, today included; one that was delivered was also sent.
create or replace view public.intouch_sms_daily with (security_invoker = true) as
select
    (created_at at time zone 'Africa/Abidjan')::date as date,
    count(*) as total_sms,
    count(*) filter (where status in ('sent', 'delivered')) as sent_sms,
    count(*) filter (where status = 'failed') as failed_sms
from public.sms_logs
where (select montoit.sees_everything())
  and provider = 'intouch'
  and created_at >= (date_trunc('day', now() at time zone 'Africa/Abidjan') - interval '6 days')
      at time zone 'Africa/Abidjan'
group by 1
order by 1 desc;
