-- SMS by day over the last seven days.
create or replace view public.intouch_sms_daily with (security_invoker = true) as
select date, total as total_sms, succeeded as sent_sms, failed as failed_sms
from montoit.intouch_daily('sms_logs', 7)
where (select montoit.sees_everything());
