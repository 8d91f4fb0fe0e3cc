// Command andon is the whole appliance: see README.md.
package main

func main() {}
