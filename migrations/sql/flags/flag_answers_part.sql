-- The answer of every flag for asked_user. The order of the rules stands only here. The last rule repeats the expression of
-- montoit.bucket(): calling a function for each flag would cost more than all the rest.
select
    flag.key,
    case
        when override.is_enabled is not null then override.is_enabled
        when not flag.is_enabled then false
        when flag.requires_credentials and flag.credentials_status = 'not_configured' then false
        when flag.allowed_roles <> '{}' and not flag.allowed_roles && montoit.roles_of(asked_user) then false
        when flag.rollout_percentage = 100 then true
        when asked_user is null then false
        else ('x' || encode(substr(sha256(convert_to(flag.key || ':' || asked_user::text, 'UTF8')), 1, 7), 'hex'))
            ::bit(56)::bigint % 10000 < flag.rollout_percentage * 100
    end as answer
from public.feature_flags as flag
left join public.feature_flag_overrides as override
    on override.feature_flag_id = flag.id
    and override.user_id = asked_user
    and (override.expires_at is null or override.expires_at > now())
