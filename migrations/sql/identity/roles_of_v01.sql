-- The roles that a user holds, for feature_flags.allowed_roles: for targeting, not for security. The platform's own tables
-- of roles count if they can be trusted; profiles.user_type does not count, since users write it themselves.
create or replace function montoit.roles_of(target_user uuid)
returns text[]
language plpgsql
stable
set search_path = ''
as $$
declare
    roles text[];
    claims jsonb := case when current_setting('request.jwt.claims', true) <> '' then montoit.jwt_claims() end;
    tables name[];
begin
    -- One query: each costs a check a tenth of its time. A plain table of the user as whom a check runs is the usual case; of others
    -- is_trusted_table decides.
    select
        array(select 'admin'::text from montoit.administrators where user_id = target_user),
        array(
            select relname
            from pg_catalog.pg_class
            where relnamespace = 'public'::regnamespace and relname in ('user_roles', 'user_role_assignments') and (
                relkind in ('r', 'p') and pg_get_userbyid(relowner) = current_user
                or montoit.is_trusted_table(relname::text)
            )
        )
    into roles, tables;
    if target_user::text = lower(claims ->> 'sub') then
        roles := roles || (claims -> 'app_metadata' ->> 'role');
    end if;
    -- A statement is planned when it is first reached: a table that is not there, or not trusted, is not looked at.
    if 'user_roles' = any (tables) then
        roles := roles || array(select role::text from public.user_roles where user_id = roles_of.target_user);
    end if;
    if 'user_role_assignments' = any (tables) then
        roles := roles || array(
            select role_type::text from public.user_role_assignments where user_id = roles_of.target_user and is_active
        );
    end if;
    return roles;
end;
$$;
