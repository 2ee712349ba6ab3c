-- The roles that a user holds, for feature_flags.allowed_roles: targeting, not security.
create or replace function montoit.roles_of(target_user uuid)
returns text[]
language plpgsql
stable
set search_path = ''
as $$
declare
    roles text[] := '{}';
begin
    if exists (select from montoit.administrators where user_id = target_user) then
        roles := roles || 'admin'::text;
    end if;
    if target_user = montoit.current_user_id() then
        roles := roles || (montoit.jwt_claims() -> 'app_metadata' ->> 'role');
    end if;
    return roles;
end;
$$;
