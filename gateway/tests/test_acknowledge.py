async def test_smoke(stage):
    p = await stage.paid()
    assert p.state == "captured"
    print(p)
