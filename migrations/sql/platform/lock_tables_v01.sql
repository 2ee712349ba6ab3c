-- Locks the tables among `names` that exist, all of them or none: what it got is let go before it tries again, so that
-- nobody waits longer than 50 ms for a table while we wait for another. Gives up where lock_timeout would have. `first` is
-- a statement that needs the lock of yet another table; it runs on the same terms.
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
    -- Neither readers nor writers wait for this one. It ends an autovacuum, which only yields to whoever waits for a second.
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
