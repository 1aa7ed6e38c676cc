-- Which objects wait, without a look at their bytes: with thousands of small ones, each record that goes out asks.
CREATE INDEX safe_waiting_known ON safe_waiting (safe, object, uploaded);
