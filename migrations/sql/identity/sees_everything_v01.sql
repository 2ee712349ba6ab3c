-- Whether the caller may read everybody's rows: a role that is trusted, or an administrator.
create or replace function montoit.sees_everything()
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
    return montoit.is_trusted(montoit.caller_role()) or montoit.is_admin();
end;
$$;
