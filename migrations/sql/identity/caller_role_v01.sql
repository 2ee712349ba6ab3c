-- The database role that asks, whatever function it asks through: `role` is untouched by security definer.
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
