-- WhatsApp messages a day over the last seven days, today included; one that was delivered or read was also sent.
create or replace view public.intouch_whatsapp_daily with (security_invoker = true) as
select
    (created_at at time zone 'Africa/Abidjan')::date as date,
    count(*) as total_messages,
    count(*) filter (where status in ('sent', 'delivered', 'read')) as sent_messages,
    count(*) filter (where status = 'failed') as failed_messages
from public.whatsapp_logs
where (select montoit.sees_everything())
  and provider = 'intouch'
  and created_at >= (date_trunc('day', now() at time zone 'Africa/Abidjan') - interval '6 days')
      at time zone 'Africa/Abidjan'
group by 1
order by 1 desc;
