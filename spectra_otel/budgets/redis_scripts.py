"""What the ledger in Redis does within a script: one for each thing a ledger can do that must happen whole or not at all.

Money is counted by Redis in 64-bit integers and read as text; Lua compares in doubles, which are exact up to 2^53 units. Every
script can be sent a second time when its answer was lost: a lease, a record or a correction is known by its id.
"""

from __future__ import annotations

P = "{spectra}:budgets:"
"""All keys have one hash tag, so that a cluster keeps them together and a script may use them together."""

RESERVE = """
local n = #KEYS - 3
local wanted = {ARGV[1], ARGV[2], ARGV[3]}
if ARGV[4] ~= 'more' and redis.call('EXISTS', KEYS[2]) == 1 then return {1} end
if ARGV[4] == 'more' and redis.call('HGET', KEYS[2], 'swept') ~= '0' then return {1} end
local refused, exceeded, new = {}, {}, {}
for i = 1, n do
  local v = redis.call('HMGET', KEYS[3 + i], 'sc', 'st', 'sr', 'rc', 'rt', 'rr')
  new[i] = not v[1] and not v[4]
  local at = 12 + (i - 1) * 4
  for k = 1, 3 do
    local limit, w = ARGV[at + k], tonumber(wanted[k])
    local used = tonumber(v[k] or '0') + tonumber(v[3 + k] or '0')
    if limit ~= '' and w > 0 and used + w > tonumber(limit) then
      local found = {i, k, v[k] or '0', v[3 + k] or '0'}
      if ARGV[at + 4] == '1' then refused[#refused + 1] = found else exceeded[#exceeded + 1] = found end
      break
    end
  end
end
local said = refused
if #refused == 0 then said = exceeded end
for _, found in ipairs(said) do
  if #refused > 0 and ARGV[4] == 'try' then
    found[5] = 0
  else
    found[5] = redis.call('HINCRBY', KEYS[3 + found[1]], 'b', 1)
    redis.call('SADD', KEYS[3], KEYS[3 + found[1]])
  end
end
if #refused > 0 then return {0, unpack(refused)} end
local held = ARGV[4] == 'more' and redis.call('HGET', KEYS[2], 'keys')
for i = 1, n do
  local key = KEYS[3 + i]
  if not held or string.find('\\n' .. held .. '\\n', '\\n' .. key .. '\\n', 1, true) then
    for k, field in ipairs({'rc', 'rt', 'rr'}) do
      if wanted[k] ~= '0' or new[i] then redis.call('HINCRBY', key, field, wanted[k]) end
    end
    if new[i] then redis.call('SADD', KEYS[3], key) end
  end
end
if ARGV[4] ~= 'more' then
  redis.call('HSET', KEYS[2], 'keys', ARGV[5], 'cost', wanted[1], 'tokens', wanted[2], 'requests', wanted[3], 'fc', ARGV[6],
    'ft', ARGV[7], 'fr', ARGV[8], 'place', ARGV[9], 'pid', ARGV[10], 'began', ARGV[11], 'swept', '0')
else
  redis.call('HINCRBY', KEYS[2], 'cost', wanted[1])
  redis.call('HINCRBY', KEYS[2], 'tokens', wanted[2])
  redis.call('HINCRBY', KEYS[2], 'requests', wanted[3])
end
redis.call('ZADD', KEYS[1], ARGV[12], KEYS[2])
return {1, unpack(exceeded)}
"""
"""KEYS: leases, the lease, counters, one counter per claim. ARGV: wanted, what it is, keys, floor, owner, expiry, limits.

It is `new`, `try` (new, but a refusal is not final) or `more`.
"""
_ADD = """
local function text(number) return string.format('%.0f', number) end
local function less(one, other) return text(tonumber(one) - tonumber(other)) end
local function add(key, settled, reserved, overshoot, unpriced, limits, thresholds)
  for k, field in ipairs({'sc', 'st', 'sr'}) do
    if settled[k] ~= '0' and redis.call('HINCRBY', key, field, settled[k]) < 0 then redis.call('HSET', key, field, '0') end
  end
  for k, field in ipairs({'rc', 'rt', 'rr'}) do
    if reserved[k] ~= '0' then redis.call('HINCRBY', key, field, reserved[k]) end
  end
  if overshoot ~= '0' then redis.call('HINCRBY', key, 'o', overshoot) end
  if unpriced ~= '0' then redis.call('HINCRBY', key, 'u', unpriced) end
  local result = redis.call('HMGET', key, 'sc', 'st', 'sr', 'rc', 'rt', 'rr', 'f')
  local part, before, fired = 0, tonumber(result[7] or '0'), {}
  for k = 1, 6 do result[k] = result[k] or '0' end
  if thresholds ~= '' then
    for k = 1, 3 do
      if limits[k] ~= '' and tonumber(limits[k]) > 0 then part = math.max(part, tonumber(result[k]) / tonumber(limits[k])) end
    end
    local highest = before
    for threshold in string.gmatch(thresholds, '[^,]+') do
      local t = tonumber(threshold)
      if before < t and t <= part then
        fired[#fired + 1] = threshold
        highest = math.max(highest, t)
      end
    end
    if #fired > 0 then redis.call('HSET', key, 'f', tostring(highest)) end
  end
  result[7] = table.concat(fired, ',')
  return result
end
local function limits_at(at) return {ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]}, ARGV[at + 4] end
local function remember(record, over, keys, rev, seconds, amount)
  redis.call('HSET', record, 'over', over, 'keys', table.concat(keys, '\\n'), 'rev', rev, 'u', ARGV[4], 'cost', amount[1],
    'tokens', amount[2], 'requests', amount[3])
  redis.call('EXPIRE', record, seconds)
end
"""
SETTLE = (
    _ADD
    + """
local l = redis.call('HMGET', KEYS[2], 'swept', 'cost', 'tokens', 'requests', 'fc', 'ft', 'fr', 'keys')
if not l[1] then return {} end
redis.call('DEL', KEYS[2])
redis.call('ZREM', KEYS[1], KEYS[2])
local settled, reserved = {}, {}
local overshoot = math.max(0, tonumber(ARGV[1]) - tonumber(l[2]))
for k = 1, 3 do
  if l[1] == '1' then
    settled[k], reserved[k] = less(ARGV[k], l[4 + k]), '0'
  else
    settled[k], reserved[k] = ARGV[k], less(0, l[1 + k])
  end
end
local results, held = {}, {}
for i = 4, #KEYS do
  if string.find('\\n' .. l[8] .. '\\n', '\\n' .. KEYS[i] .. '\\n', 1, true) then
    local limits, thresholds = limits_at(5 + (i - 4) * 4)
    local row = add(KEYS[i], settled, reserved, text(overshoot), ARGV[4], limits, thresholds)
    row[8] = i - 3
    for k = 1, 3 do row[8 + k] = settled[k] end
    results[#results + 1] = row
    held[#held + 1] = KEYS[i]
  end
end
if ARGV[5] ~= '0' and redis.call('EXISTS', KEYS[3]) == 0 then
  remember(KEYS[3], '', held, 0, ARGV[5], {ARGV[1], ARGV[2], ARGV[3]})
end
return results
"""
)
"""KEYS: leases, the lease, its record, one counter per claim. ARGV: what is settled, unpriced calls, how long the record is known
(0: not at all), limits and thresholds. A budget removed since has no part in it."""
COUNT = (
    _ADD
    + """
local rev, unpriced, whole = tonumber(ARGV[6]), ARGV[4], {ARGV[1], ARGV[2], ARGV[3]}
local known = redis.call('HMGET', KEYS[2], 'over', 'keys', 'rev', 'u', 'cost', 'tokens', 'requests')
if known[1] and (rev == 0 or rev < tonumber(known[3])) then return {known[1]} end
if rev > 0 and not known[1] then return {''} end
local results, over, held, none = {''}, {}, {}, {'0', '0', '0'}
local function count(i, amount, without_price)
  local limits, thresholds = limits_at(6 + (i - 4) * 4)
  local row = add(KEYS[i], amount, none, '0', without_price, limits, thresholds)
  redis.call('SADD', KEYS[3], KEYS[i])
  row[8] = i - 3
  for k = 1, 3 do row[8 + k] = amount[k] end
  results[#results + 1] = row
  for k = 1, 3 do
    if limits[k] ~= '' and tonumber(row[k]) > tonumber(limits[k]) then
      over[#over + 1] = KEYS[i]
      break
    end
  end
end
if not known[1] then
  for i = 4, #KEYS do
    held[#held + 1] = KEYS[i]
    count(i, whole, unpriced)
  end
else
  local function budget(key) return string.match(key, '^(.-)\\31') end
  local now, change, back = {}, {}, {}
  for i = 4, #KEYS do now[budget(KEYS[i])] = i end
  if unpriced ~= '0' then
    whole[1] = known[5]
    if whole[2] == '0' then whole[2] = known[6] end
  end
  for k = 1, 3 do change[k], back[k] = less(whole[k], known[4 + k]), less(0, known[4 + k]) end
  local more = less(unpriced, known[4])
  for before in string.gmatch(known[2], '[^\\n]+') do
    local i = now[budget(before)]
    held[#held + 1] = i and KEYS[i] or before
    if i and KEYS[i] == before then
      if table.concat(change) .. more ~= '0000' then count(i, change, more) end
    elseif i then
      add(before, back, none, '0', less(0, known[4]), none, '')
      count(i, whole, unpriced)
    elseif string.match(before, '\\31run\\31%d+$') then
      add(before, change, none, '0', more, none, '')
    end
  end
  for before in string.gmatch(known[1], '[^\\n]+') do
    local is_new = true
    for _, key in ipairs(over) do is_new = is_new and key ~= before end
    if is_new then over[#over + 1] = before end
  end
end
results[1] = table.concat(over, '\\n')
remember(KEYS[2], results[1], held, rev, ARGV[5], whole)
return results
"""
)
"""KEYS: leases, the record, counters, one counter per claim. ARGV: its amount, unpriced, how long it is known, its revision,
limits and thresholds. A revision changes what the record has counted, if it has; to where its bucket is by now."""
HOLDERS = """
local places, found = {}, {}
local leases = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
for i = 1, #leases, 2 do
  local owner = redis.call('HMGET', leases[i], 'place', 'pid', 'began')
  local one = {owner[1] or '', owner[2] or '0', owner[3] or '', leases[i + 1]}
  local name = table.concat({one[1], one[2], one[3]}, ' ')
  if not places[name] then
    places[name] = true
    found[#found + 1] = one
  end
end
return found
"""
"""KEYS: leases. Who holds some, and when the first of each one's expires."""
HELD = """
local found = {}
local leases = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[4], 'WITHSCORES')
for i = 1, #leases, 2 do
  local owner = redis.call('HMGET', leases[i], 'place', 'pid', 'began')
  if (owner[1] or '') == ARGV[1] and (owner[2] or '0') == ARGV[2] and (owner[3] or '') == ARGV[3] then
    found[#found + 1] = leases[i]
    found[#found + 1] = leases[i + 1]
  end
end
return found
"""
"""KEYS: leases. ARGV: a holder, and up to which expiry. Which leases those are, and when each expires."""
SWEEP = (
    _ADD
    + """
local l = redis.call('HMGET', KEYS[2], 'swept', 'cost', 'tokens', 'requests', 'fc', 'ft', 'fr', 'keys')
if l[1] ~= '0' then return 0 end
for key in string.gmatch(l[8], '[^\\n]+') do
  local back = {less(0, l[2]), less(0, l[3]), less(0, l[4])}
  add(key, {l[5], l[6], l[7]}, back, '0', '0', {'', '', ''}, '')
end
redis.call('HSET', KEYS[2], 'swept', '1')
redis.call('EXPIRE', KEYS[2], 86400)
redis.call('ZREM', KEYS[1], KEYS[2])
return 1
"""
)
REMOVE = """
local found = redis.call('HDEL', KEYS[4], ARGV[1])
local function is_of_it(key) return string.sub(key, 1, #ARGV[2]) == ARGV[2] end
for _, key in ipairs(redis.call('SMEMBERS', KEYS[3])) do
  if is_of_it(key) then
    redis.call('DEL', key)
    redis.call('SREM', KEYS[3], key)
  end
end
for _, lease in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local kept = {}
  for key in string.gmatch(redis.call('HGET', lease, 'keys') or '', '[^\\n]+') do
    if not is_of_it(key) then kept[#kept + 1] = key end
  end
  redis.call('HSET', lease, 'keys', table.concat(kept, '\\n'))
end
redis.call('INCR', KEYS[2])
return found
"""
"""KEYS: leases, revision, counters, definitions. ARGV: the budget's name, and what its counters' keys begin with."""
