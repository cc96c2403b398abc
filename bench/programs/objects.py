"""Python as it is mostly written: classes, dictionaries, lists, strings, sorting, generators, exceptions. Argument: rounds."""
import sys


class Account:
    def __init__(self, name, balance):
        self.name = name
        self.balance = balance

    def withdraw(self, amount):
        if amount > self.balance:
            raise ValueError(self.name)
        self.balance -= amount
        return self.balance


def words(seed, count):
    for _ in range(count):
        seed = (seed * 1103515245 + 12345) & 0x7FFFFFFF
        yield "".join(chr(97 + (seed >> shift) % 26) for shift in (3, 7, 11, 15))


def count_words(seed):
    counts = {}
    for word in words(seed, 3000):
        counts[word] = counts.get(word, 0) + 1
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:50]


def bank(rounds):
    accounts = [Account(f"account {i}", i * 10) for i in range(100)]
    refused = 0
    for i in range(rounds):
        try:
            accounts[i * 7 % 100].withdraw(i % 13)
        except ValueError:
            refused += 1
    return refused, sum(account.balance for account in accounts)


def text(seed):
    line = " ".join(words(seed, 500))
    return len(line.replace("a", "bc").upper().split("B")), line.count("e"), line.find("aa"), hash(line) & 0xFF


rounds = int(sys.argv[1])
for i in range(rounds):
    top = count_words(i + 1)
    print(top[0], top[-1], bank(6000), text(i + 7))
