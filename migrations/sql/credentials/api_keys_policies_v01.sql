-- A row that holds a value is for the service role alone. Administrators see the other rows, and switch them.
create policy "administrators read" on public.api_keys
    for select to authenticated using (key_value is null and (select montoit.is_admin()));
create policy "administrators switch" on public.api_keys
    for update to authenticated
    using (key_value is null and (select montoit.is_admin()))
    with check (key_value is null and (select montoit.is_admin()));
create policy "the service does all" on public.api_keys
    for all to service_role using (true) with check (true);
-- Holds whatever other policies say, also one that somebody adds.
create policy "values are for the service" on public.api_keys
    as restrictive for all to public
    using (key_value is null or (select pg_has_role(current_user, 'service_role', 'usage')));

grant select on table public.api_keys to authenticated;
grant update (is_active) on table public.api_keys to authenticated;
grant select, insert, update, delete on table public.api_keys to service_role;
