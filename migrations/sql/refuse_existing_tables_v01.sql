-- Stops before the first write where the database has tables of our names: taking them over is not built yet.
do $$
declare
    found text;
begin
    select string_agg(
        format('  - %s : %s', table_name, coalesce(differences, 'celle de la plateforme')), e'\n' order by table_name
    )
    into found
    from (
        -- include existing_tables
    ) as tables;
    if found is not null then
        raise exception using
            errcode = 'MT004',
            message = format(
                e'Cette base a déjà des tables de ces noms, rien n''a été modifié :\n%s\n'
                'Reprendre des tables existantes n''est pas encore possible : choisissez une base qui n''en a pas.',
                found
            );
    end if;
end;
$$;
