-- The answer of one flag for one user; false for a flag that does not exist.
create or replace function montoit.check_flag(asked_user uuid, asked_key text)
returns boolean
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
    caller text := coalesce(nullif(current_setting('role', true), 'none'), session_user);
    me uuid;
begin
    -- include who_asks
    return coalesce((
        select answer
        from (
            -- include flag_answers
        ) as answers
        where key = asked_key
    ), false);
end;
$$;
