-- Locks the tables among `names` that exist, all or none: after 50 ms it releases the locks that it has and tries again, so
-- that nobody waits long for one table while this waits for another. Gives up after lock_timeout. `first` is a statement
-- that locks yet another table; it runs, and is undone, together with the locks.
create or replace function montoit.lock_tables(names text[], first text default null)
returns void
language plpgsql
set search_path = ''
as $$
declare
    patience constant text := current_setting('lock_timeout');
    deadline constant timestamptz := clock_timestamp()
        + case when patience = '0' then interval '1 day' else patience::interval end;
    tables constant text := (
        select string_agg(format('public.%I', name), ', ' order by ordinal)
        from unnest(names) with ordinality as each (name, ordinal)
        where to_regclass(format('public.%I', name)) is not null
    );
begin
    if tables is null then
        return;
    end if;
    -- Neither readers nor writers wait for this lock. It ends an autovacuum, which yields only to a session that has waited
    -- for a second: the tries below are too short.
    execute format('lock table %s in share update exclusive mode', tables);
    loop
        begin
            perform set_config('lock_timeout', '50ms', true);
            execute format('lock table %s in access exclusive mode', tables);
            set constraints all immediate; -- a table with pending events cannot be altered
            if first is not null then
                execute first;
            end if;
            perform set_config('lock_timeout', patience, true);
            return;
        exception
            when lock_not_available or deadlock_detected then
                if clock_timestamp() > deadline then
                    raise;
                end if;
        end;
        perform pg_sleep(0.05);
    end loop;
end;
$$;
