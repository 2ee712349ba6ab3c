-- Builds and validates what the small logs still lack.
do $$
declare
    part record;
begin
    for part in
        select * from montoit.unfinished_logs()
        where not is_large
        order by step, table_name, statement
    loop
        execute part.statement;
    end loop;
end;
$$;
