-- Who administers the platform by a column that users write.
select id from public.profiles where user_type::text like 'admin%' order by id
