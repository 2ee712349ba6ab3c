-- Estimated costs over the last 30 days, in FCFA.
create or replace view public.intouch_costs with (security_invoker = true) as
select service, transactions, cost_fcfa, type from montoit.estimated_costs();
