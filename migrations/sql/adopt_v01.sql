-- Takes one step of an adoption, and notes the statement that undoes it and what operators are told of it.
create or replace function montoit.adopt(
    target_table text, object text, redo text, undo text, told text default null
)
returns void
language plpgsql
set search_path = ''
as $$
begin
    execute redo;
    insert into montoit.adoption_steps (table_name, object, undo, told)
    values (target_table, adopt.object, adopt.undo, adopt.told);
end;
$$;
