-- Stops before the first write where a table of our names is not the platform's: such a table is not taken over.
do $$
declare
    found text;
begin
    select string_agg(format('  - %s : %s', table_name, differences), e'\n' order by table_name)
    into found
    from (
        -- include existing_tables
    ) as tables
    where differences is not null;
    if found is not null then
        raise exception using
            errcode = 'MT004',
            message = format(
                e'Cette base a des tables de ces noms qui ne sont pas celles de la plateforme, rien n''a été modifié :\n'
                '%s\nElles ne peuvent pas être reprises : renommez-les, ou choisissez une autre base.',
                found
            );
    end if;
end;
$$;
