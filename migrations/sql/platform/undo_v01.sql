-- Undoes the steps of one stage on one table, the last one first.
create or replace function montoit.undo(stage text, table_name text)
returns void
language plpgsql
set search_path = ''
set check_function_bodies = off -- the platform's functions find their tables by the caller's search_path
as $$
declare
    step record;
    state text;
    reason text;
begin
    for step in
        select id, object, steps.undo from montoit.adoption_steps as steps
        where steps.stage = undo.stage and steps.table_name = undo.table_name
        order by id desc
    loop
        begin
            if step.undo like 'update %' or step.undo like 'delete %' then
                perform montoit.change_rows(step.undo);
            else
                execute step.undo;
            end if;
        exception
            when others then
                get stacked diagnostics state = returned_sqlstate, reason = message_text;
                perform montoit.raise_not_given_back(undo.table_name, step.object, state, reason);
        end;
        delete from montoit.adoption_steps where id = step.id;
    end loop;
end;
$$;
