-- Drops a table of ours; one that was there before is given back as it was, with every row that is not ours.
create or replace function montoit.give_back(name text, variadic functions regprocedure[] default '{}')
returns void
language plpgsql
set search_path = ''
set check_function_bodies = off -- theirs find their tables on their callers' path
as $$
declare
    step record;
    function regprocedure;
begin
    set constraints all immediate; -- a table with pending events cannot be altered
    foreach function in array functions loop
        if not exists (
            select from montoit.adoption_steps
            where table_name = name and object = format('function %s', (
                select format('%I.%I(%s)', 'public', proname, pg_get_function_identity_arguments(oid))
                from pg_catalog.pg_proc where oid = function
            ))
        ) then
            execute format('drop function %s', function);
        end if;
    end loop;
    if not exists (select from montoit.adopted_tables where table_name = name) then
        execute format('drop table public.%I', name);
    end if;
    for step in select id, object, undo from montoit.adoption_steps where table_name = name order by id desc loop
        begin
            execute step.undo;
        exception
            when others then
                if name <> 'api_keys' then
                    raise;
                end if;
                raise exception using -- a trigger of theirs may have quoted a row
                    errcode = sqlstate, message = format('api_keys n''a pas pu être rendue (%s).', step.object);
        end;
        delete from montoit.adoption_steps where id = step.id;
    end loop;
    update montoit.adopted_tables set own_rows = 'false' where table_name = name; -- none of them is ours any more
end;
$$;
