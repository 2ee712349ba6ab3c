-- Whether the caller is an administrator: by app_metadata.role in the JWT, which only the server writes, or by a row of
-- montoit.administrators. Never by user_metadata or profiles.user_type, which users write themselves.
create or replace function montoit.is_admin()
returns boolean
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
    return coalesce(montoit.jwt_claims() -> 'app_metadata' ->> 'role' = 'admin', false)
        or exists (select from montoit.administrators where user_id = montoit.current_user_id());
end;
$$;
