-- The answers of one flag, or of all, for one user: {key: boolean}. The one place where the order of the rules
-- stands. Who may ask for whom is decided here as well, since this function sees every flag and override.
create or replace function montoit.check_flags(asked_user uuid, asked_key text default null)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
    caller text := montoit.caller_role();
begin
    if caller = 'anon' then
        asked_user := null;
    elsif caller = 'authenticated' then
        if asked_user is null then
            asked_user := montoit.current_user_id();
        elsif asked_user is distinct from montoit.current_user_id() and not montoit.is_admin() then
            raise exception using
                errcode = 'insufficient_privilege',
                message = 'feature flags of another user';
        end if;
    end if;

    return (
        select coalesce(
            jsonb_object_agg(
                flag.key,
                case
                    when override.is_enabled is not null then override.is_enabled
                    when not flag.is_enabled then false
                    when flag.requires_credentials and flag.credentials_status = 'not_configured' then false
                    when flag.allowed_roles <> '{}'
                        and not flag.allowed_roles && (select montoit.roles_of(asked_user)) then false
                    when flag.rollout_percentage = 100 then true
                    when asked_user is null then false
                    else montoit.bucket(flag.key, asked_user) < flag.rollout_percentage * 100
                end
            ),
            '{}'
        )
        from public.feature_flags as flag
        left join public.feature_flag_overrides as override
            on override.feature_flag_id = flag.id
            and override.user_id = asked_user
            and (override.expires_at is null or override.expires_at > now())
        where asked_key is null or flag.key = asked_key
    );
end;
$$;
