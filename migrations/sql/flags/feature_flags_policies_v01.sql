-- Signed-in users read flags and their own overrides; administrators change them and read the history.
create policy "signed-in users read" on public.feature_flags
    for select to authenticated using (true);
create policy "administrators insert" on public.feature_flags
    for insert to authenticated with check ((select montoit.is_admin()));
create policy "administrators update" on public.feature_flags
    for update to authenticated using ((select montoit.is_admin())) with check ((select montoit.is_admin()));
create policy "administrators delete" on public.feature_flags
    for delete to authenticated using ((select montoit.is_admin()));
create policy "the service does all" on public.feature_flags
    for all to service_role using (true) with check (true);

create policy "administrators read" on public.feature_flag_history
    for select to authenticated using ((select montoit.is_admin()));
create policy "the service reads" on public.feature_flag_history
    for select to service_role using (true);

create policy "users read their own" on public.feature_flag_overrides
    for select to authenticated
    using (user_id = (select montoit.current_user_id()) or (select montoit.is_admin()));
create policy "administrators insert" on public.feature_flag_overrides
    for insert to authenticated with check ((select montoit.is_admin()));
create policy "administrators update" on public.feature_flag_overrides
    for update to authenticated using ((select montoit.is_admin())) with check ((select montoit.is_admin()));
create policy "administrators delete" on public.feature_flag_overrides
    for delete to authenticated using ((select montoit.is_admin()));
create policy "the service does all" on public.feature_flag_overrides
    for all to service_role using (true) with check (true);

grant select, insert, update, delete on table public.feature_flags, public.feature_flag_overrides
    to authenticated, service_role;
grant select on table public.feature_flag_history to authenticated, service_role;
