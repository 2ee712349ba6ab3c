-- Trigger: writes a flag's history for every writer, also for those who may not write to the history themselves. The author
-- may give a reason: see order_reason.
create or replace function montoit.record_flag_change()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
    flag public.feature_flags := coalesce(new, old);
    change text := case tg_op when 'INSERT' then 'created' when 'DELETE' then 'deleted' else 'updated' end;
begin
    if tg_op = 'UPDATE' then
        flag.updated_at := old.updated_at;
        if flag *= old then
            return null;
        end if;
        if new.is_enabled is distinct from old.is_enabled then
            change := case when new.is_enabled then 'enabled' else 'disabled' end;
        end if;
    end if;
    -- current_user_id() is not called if nobody signed in; actor repeats the expression of montoit.caller_role().
    insert into public.feature_flag_history
        (feature_flag_id, flag_key, action, previous_value, new_value, changed_by, actor, reason)
    values (
        flag.id,
        flag.key,
        change,
        case when tg_op <> 'INSERT' then to_jsonb(old) end,
        case when tg_op <> 'DELETE' then to_jsonb(new) end,
        case when current_setting('request.jwt.claims', true) <> '' then montoit.current_user_id() end,
        coalesce(nullif(current_setting('role', true), 'none'), session_user),
        montoit.order_reason()
    );
    return null;
end;
$$;
