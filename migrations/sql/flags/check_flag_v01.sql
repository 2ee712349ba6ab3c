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
    is_on boolean;
begin
    -- include flags/who_asks
    select answer into is_on
    from (
        -- include flags/flag_answers
    ) as answers
    where key = asked_key;
    return coalesce(is_on, false);
end;
$$;
