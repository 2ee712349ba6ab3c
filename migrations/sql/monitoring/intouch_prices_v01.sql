-- What InTouch charges (source: the operators' guide): prices stand only here.
-- percent: share of a successful payment; fcfa: price of one sent message.
create or replace view public.intouch_prices with (security_invoker = true) as
select * from (values
    ('payment', 1.0, null),
    ('sms', null, 25)
) as price (service, percent, fcfa)
where (select montoit.sees_everything());
