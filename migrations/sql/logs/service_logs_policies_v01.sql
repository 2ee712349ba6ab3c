-- Users read their own rows, administrators all rows; the service writes.
create policy "users read their own" on public.payment_logs
    for select to authenticated
    using (user_id = (select montoit.current_user_id()) or (select montoit.is_admin()));
create policy "the service does all" on public.payment_logs
    for all to service_role using (true) with check (true);

create policy "users read their own" on public.sms_logs
    for select to authenticated
    using (user_id = (select montoit.current_user_id()) or (select montoit.is_admin()));
create policy "the service does all" on public.sms_logs
    for all to service_role using (true) with check (true);

create policy "users read their own" on public.whatsapp_logs
    for select to authenticated
    using (user_id = (select montoit.current_user_id()) or (select montoit.is_admin()));
create policy "the service does all" on public.whatsapp_logs
    for all to service_role using (true) with check (true);

grant select on table public.payment_logs, public.sms_logs, public.whatsapp_logs to authenticated;
grant select, insert, update, delete on table public.payment_logs, public.sms_logs, public.whatsapp_logs
    to service_role;
