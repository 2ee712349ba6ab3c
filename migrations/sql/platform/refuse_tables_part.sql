-- Stops if a table among `names` cannot be adopted, and says why. `is_later`: the adoption is over.
select string_agg(format('  - %s : %s', table_name, differences), e'\n' order by table_name)
into told
from (
    -- include platform/existing_tables
) as tables
where differences is not null;
if told is not null then
    raise exception using
        errcode = 'MT004',
        message = format(
            e'Cette base a des tables de ces noms qui ne sont pas celles de la plateforme%s :\n'
            '%s\nElles ne peuvent pas être reprises : %s',
            case when not is_later then ', rien n''a été modifié' end,
            told, case when is_later then 'renommez-les, ou recommencez : alembic downgrade base, puis upgrade.'
                else 'renommez-les, ou choisissez une autre base.' end
        );
end if;
