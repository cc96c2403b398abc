# Perl's own ground: regular expressions, hashes, lists, text. Argument: rounds.
use strict;

my ($rounds) = @ARGV;
for my $round (1 .. $rounds) {
  my ($seed, @words) = ($round);
  for (1 .. 3000) {
    $seed = ($seed * 16807) % 2147483647;
    push @words, join '', map { chr(97 + ($seed >> $_) % 26) } 2, 5, 9;
  }
  my $text = join ' ', @words;
  my %count;
  $count{$_}++ for $text =~ /\b\w+\b/g;
  my @top = (sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %count)[0 .. 9];
  (my $changed = $text) =~ s/([aeiou])(\w)/$2$1/g;
  my $pairs = () = $changed =~ /(\w)\1/g;
  my $sum = 0;
  $sum += length($_) * ord($_) for grep { !/^[xyz]/ } split / /, $changed;
  print "$round @top $pairs $sum ", scalar(reverse substr $changed, 0, 20), "\n";
}
