-- Payments by day over the last seven days.
create or replace view public.intouch_payments_daily with (security_invoker = true) as
select
    date, total as total_payments, amount as total_amount, succeeded as successful_payments, failed as failed_payments
from montoit.intouch_daily('payment_logs', 7)
where (select montoit.sees_everything());
