-- Trigger: writes a line of the trail for each change of an override, for every writer. The flag may be gone already: with it
-- go its overrides.
create or replace function montoit.record_override()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
    override public.feature_flag_overrides := coalesce(new, old);
    before jsonb;
    after jsonb;
begin
    if tg_op = 'UPDATE' and new *= old then
        return null;
    end if;
    if tg_op <> 'INSERT' then
        before := jsonb_build_object('is_enabled', old.is_enabled, 'expires_at', old.expires_at, 'reason', old.reason);
    end if;
    if tg_op <> 'DELETE' then
        after := jsonb_build_object('is_enabled', new.is_enabled, 'expires_at', new.expires_at, 'reason', new.reason);
    end if;
    insert into montoit.trail (subject, key, user_id, before, after)
    values (
        'override',
        coalesce(
            (select key from public.feature_flags where id = override.feature_flag_id), override.feature_flag_id::text
        ),
        override.user_id, jsonb_strip_nulls(before), jsonb_strip_nulls(after)
    );
    return null;
end;
$$;
