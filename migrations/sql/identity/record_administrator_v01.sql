-- Trigger: writes a line of the trail for each administrator who is named or no longer named.
create or replace function montoit.record_administrator()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    if tg_op = 'UPDATE' and old.user_id = new.user_id then
        return null;
    end if;
    if tg_op <> 'INSERT' then
        insert into montoit.trail (subject, user_id, before, after)
        values ('administrator', old.user_id, '{"is_administrator": true}', '{"is_administrator": false}');
    end if;
    if tg_op <> 'DELETE' then
        insert into montoit.trail (subject, user_id, before, after)
        values ('administrator', new.user_id, '{"is_administrator": false}', '{"is_administrator": true}');
    end if;
    return null;
end;
$$;
