-- Trigger of flags and overrides: created_by and updated_by are the signed-in user; what the client gives does not count.
-- A session in which nobody is signed in (a migration, the service, the deletion of a user) leaves them, or empties them.
create or replace function montoit.stamp_author()
returns trigger
language plpgsql
security definer -- also for a role that may not call current_user_id
set search_path = ''
as $$
declare
    me uuid := montoit.current_user_id();
begin
    if tg_op = 'INSERT' then
        new.created_by := me;
    elsif new.created_by is not null or me is not null then
        new.created_by := old.created_by;
    end if;
    if tg_table_name <> 'feature_flags' then
        return new;
    end if;
    if tg_op = 'INSERT' or me is not null and new *<> old then
        new.updated_by := me;
    elsif new.updated_by is not null or me is not null then
        new.updated_by := old.updated_by;
    end if;
    return new;
end;
$$;
