// Package repocheck holds the rules of this repository that a program can see: the direction of imports, a comment on
// every package, the names at the top level, what is shipped, links in the README. Its tests are the check; it has no other code and
// starts nothing.
package repocheck
