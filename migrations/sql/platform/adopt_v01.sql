-- Executes a step of the adoption (`redo`), and notes the statement that undoes it and what operators are told of it.
-- `stage` says which downgrade undoes it: 'tables' that of the adoption, 'access' that of the table's own revision.
create or replace function montoit.adopt(
    stage text, table_name text, object text, redo text, undo text, told text default null
)
returns void
language plpgsql
set search_path = ''
as $$
begin
    if redo like 'update %' then
        perform montoit.change_rows(redo);
    else
        execute redo;
    end if;
    insert into montoit.adoption_steps (stage, table_name, object, undo, told)
    values (adopt.stage, adopt.table_name, adopt.object, adopt.undo, adopt.told);
end;
$$;
