-- Whether the caller may read everybody's rows: an administrator, or a role that the API gives to no user.
create or replace function montoit.sees_everything()
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
    return montoit.caller_role() not in ('anon', 'authenticated') or montoit.is_admin();
end;
$$;
