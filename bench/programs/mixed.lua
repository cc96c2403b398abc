-- Lua as games and configuration use it: tables, closures, strings, matrices. For Lua 5.4 and LuaJIT alike. Argument: rounds.
local function primes(n)
  local composite, count = {}, 0
  for i = 2, n do
    if not composite[i] then
      count = count + 1
      for j = i * i, n, i do composite[j] = true end
    end
  end
  return count
end

local function matrix(n)
  local a, b, trace = {}, {}, 0
  for i = 1, n do
    a[i], b[i] = {}, {}
    for j = 1, n do a[i][j], b[i][j] = (i + j) * 0.5, i * j % 7 * 0.25 end
  end
  for i = 1, n do
    for j = 1, n do
      local sum = 0
      for k = 1, n do sum = sum + a[i][k] * b[k][j] end
      if i == j then trace = trace + sum end
    end
  end
  return trace
end

local Node = {}
Node.__index = Node
local function tree(depth)
  if depth == 0 then return setmetatable({ value = 1 }, Node) end
  return setmetatable({ left = tree(depth - 1), right = tree(depth - 1), value = depth }, Node)
end
function Node:sum()
  return self.value + (self.left and self.left:sum() + self.right:sum() or 0)
end

local function text(n)
  local parts = {}
  for i = 1, n do parts[#parts + 1] = string.format("%d:%s", i, string.char(97 + i % 26):rep(i % 7)) end
  local joined = table.concat(parts, ",")
  local fields, letters = 0, 0
  for field in joined:gmatch("[^,]+") do
    fields = fields + 1
    letters = letters + #(field:match("%a+") or "")
  end
  return fields, letters
end

local function counter()
  local n = 0
  return function(step) n = n + step return n end
end

local function sorted(n)
  local list, seed = {}, 42
  for i = 1, n do
    seed = (seed * 16807) % 2147483647
    list[i] = seed
  end
  table.sort(list, function(a, b) return a < b end)
  return list[1], list[n]
end

local rounds = tonumber(arg[1])
for i = 1, rounds do
  local add, total = counter(), 0
  for step = 1, 20000 do total = add(step % 5) end
  local fields, letters = text(1500)
  local first, last = sorted(2000)
  print(string.format("%d %.3f %d %d %d %d %d %d", primes(20000), matrix(30), tree(10):sum(), fields, letters, total, first, last))
end
