-- Does for the small logs what they still lack.
do $$
declare
    part record;
begin
    for part in
        -- include unfinished_logs
        where not is_large
        order by position, table_name, statement
    loop
        execute part.statement;
    end loop;
end;
$$;
