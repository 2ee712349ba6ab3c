-- The database role of the caller, also inside a security definer function, which does not change the setting `role`.
create or replace function montoit.caller_role()
returns text
language plpgsql
stable
set search_path = ''
as $$
begin
    return coalesce(nullif(current_setting('role', true), 'none'), session_user);
end;
$$;
