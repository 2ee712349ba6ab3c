-- The roles that a user holds, for feature_flags.allowed_roles: for targeting, not for security. The platform's own tables
-- of roles count if they can be trusted; profiles.user_type does not count, since users write it themselves.
create or replace function montoit.roles_of(target_user uuid)
returns text[]
language plpgsql
stable
set search_path = ''
as $$
declare
    roles text[] := '{}';
    held text[];
begin
    if exists (select from montoit.administrators where user_id = target_user) then
        roles := roles || 'admin'::text;
    end if;
    if target_user = montoit.current_user_id() then
        roles := roles || (montoit.jwt_claims() -> 'app_metadata' ->> 'role');
    end if;
    if montoit.is_trusted_table('user_roles') then
        execute 'select array_agg(role::text) from public.user_roles where user_id = $1' into held using target_user;
        roles := roles || held;
    end if;
    if montoit.is_trusted_table('user_role_assignments') then
        execute 'select array_agg(role_type::text) from public.user_role_assignments where user_id = $1 and is_active'
            into held using target_user;
        roles := roles || held;
    end if;
    return roles;
end;
$$;
