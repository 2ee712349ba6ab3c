-- WhatsApp messages by day over the last seven days.
create or replace view public.intouch_whatsapp_daily with (security_invoker = true) as
select date, total as total_messages, succeeded as sent_messages, failed as failed_messages
from montoit.intouch_daily('whatsapp_logs', 7)
where (select montoit.sees_everything());
