"""What dev/demo is made of: visits, bulk traffic, and the rows they leave."""
